#include "origin/catalog/audit_chain.hpp"

#include <algorithm>
#include <charconv>

#include "origin/catalog/secret.hpp"

namespace lamina::origin {
namespace {

std::string entries_text(std::uint64_t first, std::uint64_t last) {
  return first == last
             ? "entry " + std::to_string(first) + " is"
             : "entries " + std::to_string(first) + " to " + std::to_string(last) + " are";
}

bool is_hash(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string to_text(const AuditHead& head) { return std::to_string(head.number) + ':' + head.hash; }

Result<AuditHead> parse_audit_head(std::string_view text) {
  AuditHead head;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, head.number);
  if (error != std::errc() || at == end || *at != ':' ||
      !is_hash(text.substr(static_cast<std::size_t>(at + 1 - text.data()))))
    return fail(ErrorKind::invalid,
                "the head of an audit log is NUMBER:HASH, as `lamina audit verify` prints it, not "
                "'" +
                    printable(text, 100) + "'");
  head.hash = at + 1;
  return head;
}

// The hash covers the entry's JSON with an empty hash field, after the previous hash.
std::string audit_hash(std::string_view previous, wire::AuditEntry entry) {
  entry.hash.clear();
  return sha256_hex(std::string(previous) + "\n" + wire::to_json(entry));
}

std::vector<std::string> AuditChain::add(const wire::AuditEntry& entry) {
  std::vector<std::string> wrong;
  const std::string number = std::to_string(entry.number);
  if (entry.number <= head_.number) {
    wrong.push_back("entry " + number + " comes after entry " + std::to_string(head_.number));
    return wrong;
  }
  if (entry.number > head_.number + 1)
    wrong.push_back(entries_text(head_.number + 1, entry.number - 1) + " missing");
  else if (entry.hash != audit_hash(head_.hash, entry))
    wrong.push_back("entry " + number + " does not fit its hash: it was changed" +
                    (head_.number == 0 ? std::string()
                                       : ", or entry " + std::to_string(head_.number) +
                                             " before it was written anew"));
  if (pin_ && entry.number == pin_->number && entry.hash != pin_->hash)
    wrong.push_back("entry " + number +
                    " is another than the one that was pinned: the log was written anew");
  head_ = {entry.number, entry.hash};
  return wrong;
}

std::vector<std::string> AuditChain::finish() const {
  if (!pin_ || pin_->number <= head_.number) return {};
  return {entries_text(head_.number + 1, pin_->number) +
          " missing at the end: the log was cut off"};
}

}  // namespace lamina::origin
