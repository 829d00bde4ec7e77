// What is wrong with a text in Prometheus' exposition format 0.0.4, and its samples by name and
// labels: written from the format's description, without the code that writes it. It is as strict
// as `promtool check metrics`: help and type before the samples, once, together; counters end in
// _total and are not negative; no sample twice; label values escaped; a newline at the end.
#pragma once

#include <cctype>
#include <charconv>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

struct CheckedExposition {
  std::vector<std::string> findings;
  std::map<std::string, double> samples;  // "name{a=\"b\"}", as written.
  std::map<std::string, std::string> types;
};

inline CheckedExposition check_exposition(std::string_view text) {
  CheckedExposition out;
  const auto wrong = [&](std::string_view line, const std::string& what) {
    out.findings.push_back(what + ": " + std::string(line));
  };
  if (!text.empty() && !text.ends_with('\n')) wrong("", "the last line has no newline");
  std::set<std::string> helped, done;
  std::string current;  // Its samples are being read.
  const auto name_at = [](std::string_view from) {
    std::size_t size = 0;
    while (size < from.size() && (std::isalnum(static_cast<unsigned char>(from[size])) != 0 ||
                                  from[size] == '_' || from[size] == ':'))
      ++size;
    return size > 0 && std::isdigit(static_cast<unsigned char>(from[0])) != 0
               ? std::string()
               : std::string(from.substr(0, size));
  };
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.starts_with("# ")) {
      const bool help = line.starts_with("# HELP ");
      if (!help && !line.starts_with("# TYPE ")) {
        wrong(line, "neither help nor type");
        continue;
      }
      const std::string name = name_at(line.substr(7));
      const std::string_view rest =
          name.size() + 7 < line.size() ? line.substr(8 + name.size()) : "";
      if (name.empty()) wrong(line, "no name");
      if (rest.empty()) wrong(line, "no text");
      if (help) {
        if (!helped.insert(name).second) wrong(line, "a second help");
        for (std::size_t i = 0; i < rest.size(); ++i)
          if (rest[i] == '\\' && (++i == rest.size() || (rest[i] != '\\' && rest[i] != 'n')))
            wrong(line, "a wrong escape");
        continue;
      }
      if (!helped.contains(name)) wrong(line, "no help before the type");
      if (!out.types.emplace(name, rest).second) wrong(line, "a second type");
      if (rest != "counter" && rest != "gauge") wrong(line, "an unknown type");
      if ((rest == "counter") != name.ends_with("_total")) wrong(line, "_total is for counters");
      current = name;
      if (!done.insert(name).second) wrong(line, "a family in two parts");
      continue;
    }
    const std::string name = name_at(line);
    if (name.empty() || name != current) {
      wrong(line, "a sample outside of its family");
      continue;
    }
    std::size_t at = name.size();
    std::set<std::string> labels;
    if (at < line.size() && line[at] == '{') {
      do {
        const std::string label = name_at(line.substr(++at));
        at += label.size();
        if (label.empty() || !line.substr(at).starts_with("=\"")) {
          wrong(line, "a wrong label");
          break;
        }
        if (!labels.insert(label).second) wrong(line, "a label twice");
        for (at += 2; at < line.size() && line[at] != '"'; ++at)
          if (line[at] == '\\' &&
              (++at == line.size() || (line[at] != '\\' && line[at] != '"' && line[at] != 'n')))
            wrong(line, "a wrong escape");
        ++at;
      } while (at < line.size() && line[at] == ',');
      if (at >= line.size() || line[at] != '}') {
        wrong(line, "labels that do not end");
        continue;
      }
      ++at;
    }
    const std::string key(line.substr(0, at));
    double value = 0;
    const char* end = line.data() + line.size();
    if (at >= line.size() || line[at] != ' ' ||
        std::from_chars(line.data() + at + 1, end, value).ptr != end) {
      wrong(line, "no value");
      continue;
    }
    if (out.types[name] == "counter" && value < 0) wrong(line, "a negative counter");
    if (!out.samples.emplace(key, value).second) wrong(line, "a sample twice");
  }
  return out;
}

// A counter of `before` that is missing in `after`, or fell; "" when none did.
inline std::string fallen_counter(const CheckedExposition& before, const CheckedExposition& after) {
  for (const auto& [key, value] : before.samples) {
    const auto type = before.types.find(key.substr(0, key.find('{')));
    if (type == before.types.end() || type->second != "counter") continue;
    const auto now = after.samples.find(key);
    if (now == after.samples.end() || now->second < value) return key;
  }
  return "";
}

}  // namespace lamina
