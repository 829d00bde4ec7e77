// What devices, seeders and reflectors send to the origin, and it to them. What is accepted is said
// again in the same words.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/wire/enrol.hpp"
#include "shared/wire/ids.hpp"
#include "shared/wire/node.hpp"
#include "shared/wire/seeder.hpp"

using namespace lamina;

namespace {

template <class Message>
void same_words(std::string_view input, Result<Message> (*parse)(std::string_view)) {
  const auto message = parse(input);
  if (!message) return;
  const std::string said = wire::to_json(*message);
  const auto again = parse(said);
  LAMINA_ASSERT(again && wire::to_json(*again) == said);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto input = as_text(bytes);
  same_words(input, wire::parse_byte_counts);
  same_words(input, wire::parse_poll_request);
  same_words(input, wire::parse_poll_reply);
  same_words(input, wire::parse_lease_request);
  same_words(input, wire::parse_lease_reply);
  same_words(input, wire::parse_budget_request);
  same_words(input, wire::parse_policy);
  same_words(input, wire::parse_report);
  same_words(input, wire::parse_snapshot_reply);
  same_words(input, wire::parse_parcel_reply);
  same_words(input, wire::parse_enrol_request);
  same_words(input, wire::parse_enrol_reply);
  same_words(input, wire::parse_renew_request);
  same_words(input, wire::parse_swarm_certificate_request);
  same_words(input, wire::parse_join_request);
  same_words(input, wire::parse_join_reply);
  same_words(input, wire::parse_seeder_poll_request);
  same_words(input, wire::parse_seeder_poll_reply);
  if (const auto ids = wire::parse_ids(bytes); ids)
    LAMINA_ASSERT(wire::to_bytes(*ids).size() == size);
  return 0;
}
