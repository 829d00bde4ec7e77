#include "node/net/site_memory.hpp"

#include <algorithm>
#include <charconv>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

constexpr Duration kWriteEvery = std::chrono::minutes{1};

}  // namespace

SiteMemory::SiteMemory(const StateDirectory& state, const DeviceId& device,
                       const PublicKey& target_key)
    : list_path_(state.net() + "/members"),
      heard_path_(state.net() + "/origin-heard"),
      device_(device),
      target_key_(target_key) {
  if (auto kept = os::read_file(list_path_, format::kRecordMax)) {
    if (auto list = verify(*kept)) {
      envelope_ = std::move(*kept);
      list_ = std::move(*list);
    } else {
      log::warning("member_list_unusable", {{"error", list.error().text()}});
    }
  }
  const auto text = os::read_text(heard_path_, 64);
  std::int64_t ms = 0;
  if (text && std::from_chars(text->data(), text->data() + text->size(), ms).ec == std::errc{}) {
    heard_at_ = WallTime{ms * 1'000'000};
    written_ = *heard_at_;
  }
}

std::vector<wire::Peer> SiteMemory::peers() const {
  std::vector<wire::Peer> list;
  if (!list_) return list;
  for (const format::SiteMember& member : list_->members) {
    if (member.device == device_ || member.address.empty() || member.port == 0) continue;
    list.push_back({member.device, member.address, member.port, std::nullopt});
    if (member.relay_port != 0) list.back().relay_port = member.relay_port;
  }
  return list;
}

Result<format::SiteMembers> SiteMemory::verify(const Buffer& envelope) const {
  auto opened =
      format::open_record(format::RecordType::members, envelope, std::span(&target_key_, 1));
  if (!opened) return fail(std::move(opened.error()));
  auto list = format::parse_members(opened->record);
  if (!list) return list;
  if (!format::names(*list, device_))
    return fail(ErrorKind::refused, "the member list of site " + printable(list->site, 80) +
                                        " does not name this device");
  return list;
}

Result<bool> SiteMemory::take(const Buffer& envelope, From from) {
  auto list = verify(envelope);
  if (!list) return fail(std::move(list.error()));
  if (list_ && list->site == list_->site) {
    if (list->sequence == list_->sequence) return false;
    if (list->sequence < list_->sequence)
      return fail(ErrorKind::refused, "the member list has sequence " +
                                          std::to_string(list->sequence) + ", but " +
                                          std::to_string(list_->sequence) +
                                          " was seen already: an old one was replayed");
  } else if (from != From::origin) {
    return fail(ErrorKind::refused, "the member list is of site " + printable(list->site, 80) +
                                        "; only the origin moves a device to another site");
  }
  if (auto done = os::write_file(list_path_, envelope, 0600); !done)
    return fail(std::move(done.error()).in("keeping the member list"));
  envelope_ = envelope;
  list_ = std::move(*list);
  return true;
}

Status SiteMemory::forget() {
  if (!list_) return Done{};
  envelope_.clear();
  list_.reset();
  return os::remove_file(list_path_);
}

void SiteMemory::heard(WallTime now) {
  heard_at_ = now;
  // A clock that was set back counts as a minute too.
  if (std::abs(now.ns - written_.ns) >= kWriteEvery.count()) write_heard();
}

void SiteMemory::failed() {
  if (heard_at_ && heard_at_->ns != written_.ns) write_heard();
}

void SiteMemory::write_heard() {
  const std::string text = std::to_string(heard_at_->ns / 1'000'000) + '\n';
  written_ = *heard_at_;
  if (auto done = os::write_file(heard_path_, as_view(text), 0600); !done)
    log::warning("origin_heard_not_written", {{"error", done.error().text()}});
}

}  // namespace lamina::node
