#include "shared/wire/device_life.hpp"

#include <catch2/catch.hpp>

#include "shared/wire/restore.hpp"
#include "tests/support/ids.hpp"

using namespace lamina;
using namespace lamina::wire;
using lamina::tests::id_of;

namespace {

// Written, read and written again it is the same text.
template <class Message>
void check_round(const Message& message, Result<Message> (*parse)(std::string_view)) {
  const std::string text = to_json(message);
  INFO(text);
  const auto read = parse(text);
  REQUIRE(read);
  CHECK(to_json(*read) == text);
}

}  // namespace

TEST_CASE("device life: every message comes back as it was written", "[wire]") {
  const auto device = id_of<DeviceId>(1), other = id_of<DeviceId>(2);
  const ErasureInfo erasure{.device = device,
                            .state = "erased",
                            .device_stays = true,
                            .by = "admin:ann",
                            .requested_ms = 1,
                            .erased_ms = 2,
                            .snapshots = 3,
                            .chunks = 4,
                            .chunks_erased = 5,
                            .chunks_shared = 6,
                            .plain_bytes = 7,
                            .snapshots_digest = std::string(64, 'a'),
                            .chunks_digest = std::string(64, 'b')};
  check_round(DecommissionRequest{"erase"}, parse_decommission_request);
  check_round(DecommissionReply{device, "archived", 1, 2, {"tills"}, {"shop"}},
              parse_decommission_reply);
  check_round(erasure, parse_erasure_info);
  check_round(ErasureList{{erasure}}, parse_erasure_list);
  check_round(ErasureProof{erasure, true, {{"packs", 3, 1, "pack 7"}}, {"a backup"}},
              parse_erasure_proof);
  check_round(ReferenceRequest{false}, parse_reference_request);
  check_round(ArchiveRequest{false}, parse_archive_request);
  check_round(MoveRequest{other, true}, parse_move_request);
  check_round(MoveReply{device, other, 1, 2, 3, true, {"tills"}, {"shop"}}, parse_move_reply);
  check_round(ProposalList{{{device, "a", other, "b", "uuid", 1, 2, "archived", 3, "do it"}}},
              parse_proposal_list);
  check_round(QuotaRequest{.device = {}, .collection = "tills", .rule = {{1, 2, 3, 4}}},
              parse_quota_request);
  check_round(QuotaRule{1, 2, 3, 4}, parse_quota_rule);
  check_round(QuotaList{{{device, {}, {1, 2, 3, 4}, 5, 6, "hard"}}}, parse_quota_list);
  check_round(
      IntegrityReport{device, true, 1, 2, 3, {{4, id_of<SnapshotId>(5), "chunk 6 is not there"}}},
      parse_integrity_report);
  check_round(RestoreRequest{id_of<SnapshotId>(5), "path=etc"}, parse_restore_request);
  check_round(RestoreReply{"0123"}, parse_restore_reply);
  check_round(RestoreEnd{true, 1, 2, "why"}, parse_restore_end);
}

TEST_CASE("device life: what is missing or out of bounds is named", "[wire]") {
  for (const char* text :
       {"", "{}", "[]", R"({"cvd":1})", R"({"cvd":"a very long word indeed"})"}) {
    const auto parsed = parse_decommission_request(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().kind() == ErrorKind::invalid);
  }
  CHECK_THAT(parse_move_request(R"({"force":true})").error().text(), Catch::Contains("'into'"));
  CHECK_FALSE(parse_quota_rule(R"({"warn_bytes":-1,"hard_bytes":0,"warn_snapshots":0,
                                   "hard_snapshots":0})"));
}
