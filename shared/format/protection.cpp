#include "shared/format/protection.hpp"

#include "shared/format/path.hpp"

namespace lamina::format {
namespace {

void write_texts(std::span<const std::string> texts, Writer& out) {
  out.varint(texts.size());
  for (const std::string& text : texts) out.text(text);
}

std::vector<std::string> read_texts(Reader& in, std::size_t most = kProtectionPatternsMax) {
  const std::uint64_t count = in.count(1);
  if (count > most) in.set_failed();
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
  for (const std::string& volume : rules.volumes) bytes += volume.size();
  const auto most = [](std::size_t number, std::size_t bound, const char* what) -> Status {
    if (number <= bound) return Done{};
    return fail(ErrorKind::invalid, "a policy has at most " + std::to_string(bound) + ' ' + what +
                                        ", and this one has " + std::to_string(number));
  };
  if (auto good = most(count, kProtectionRulesMax, "rules"); !good) return good;
  if (auto good = most(patterns, kProtectionPatternsMax, "patterns"); !good) return good;
  if (auto good = most(rules.volumes.size(), kProtectedVolumesMax, "volumes"); !good) return good;
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

void encode(std::span<const std::string> volumes, Writer& out) { write_texts(volumes, out); }

std::vector<std::string> decode_volumes(Reader& in) {
  std::vector<std::string> volumes = read_texts(in, kProtectedVolumesMax);
  bool good = !volumes.empty();
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const std::string_view before = i == 0 ? std::string_view() : std::string_view(volumes[i - 1]);
    good = good && check_path(volumes[i]) && compare_paths(before, volumes[i]) < 0;
  }
  if (!good) in.set_failed();
  return volumes;
}

const std::string* volume_of(std::string_view path, std::span<const std::string> volumes) {
  const std::string* innermost = nullptr;
  for (const std::string& volume : volumes)
    if (path != volume && is_within(path, volume) &&
        (innermost == nullptr || volume.size() > innermost->size()))
      innermost = &volume;
  return innermost;
}

}  // namespace lamina::format
