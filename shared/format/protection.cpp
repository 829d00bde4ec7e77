#include "shared/format/protection.hpp"

namespace lamina::format {
namespace {

void write_texts(const std::vector<std::string>& texts, Writer& out) {
  out.varint(texts.size());
  for (const std::string& text : texts) out.text(text);
}

std::vector<std::string> read_texts(Reader& in) {
  const std::uint64_t count = in.count(1);
  if (count > kProtectionPatternsMax) in.set_failed();
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i)
    texts.push_back(in.text(kProtectionBytesMax));
  return texts;
}

}  // namespace

Status check_bounds(const ProtectionRules& rules) {
  std::size_t count = 0, patterns = 0, bytes = 0;
  for (const auto* list : {&rules.unprotected, &rules.user})
    for (const ProtectionRule& rule : *list) {
      ++count;
      patterns += rule.paths.size() + rule.except.size();
      bytes += rule.name.size();
      for (const auto* texts : {&rule.paths, &rule.except})
        for (const std::string& text : *texts) bytes += text.size();
    }
  const auto most = [](std::size_t number, std::size_t bound, const char* what) -> Status {
    if (number <= bound) return Done{};
    return fail(ErrorKind::invalid, "a policy has at most " + std::to_string(bound) + ' ' + what +
                                        ", and this one has " + std::to_string(number));
  };
  if (auto good = most(count, kProtectionRulesMax, "rules"); !good) return good;
  if (auto good = most(patterns, kProtectionPatternsMax, "patterns"); !good) return good;
  return most(bytes, kProtectionBytesMax, "bytes of names and patterns");
}

void encode(const std::vector<ProtectionRule>& rules, Writer& out) {
  out.varint(rules.size());
  for (const ProtectionRule& rule : rules) {
    out.text(rule.name);
    write_texts(rule.paths, out);
    write_texts(rule.except, out);
  }
}

std::vector<ProtectionRule> decode_protection_rules(Reader& in) {
  const std::uint64_t count = in.count(3);
  if (count > kProtectionRulesMax) in.set_failed();
  std::vector<ProtectionRule> rules;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    ProtectionRule rule{.name = in.text(kProtectionBytesMax)};
    rule.paths = read_texts(in);
    rule.except = read_texts(in);
    rules.push_back(std::move(rule));
  }
  if (!in.failed() && !check_bounds({.unprotected = rules, .user = {}})) in.set_failed();
  return rules;
}

}  // namespace lamina::format
