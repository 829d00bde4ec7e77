#include "sim/scenario/findings.hpp"

#include <algorithm>
#include <numeric>

#include "shared/base/bytes.hpp"

namespace lamina::sim {
namespace {

constexpr std::size_t kWordMax = 40;    // Longer words are compared with nothing.
constexpr std::size_t kListedMax = 16;  // More names help nobody.

std::string lower(std::string_view word) {
  std::string out(word);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// How many letters have to be added, left out or changed (Levenshtein 1966).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

}  // namespace

std::string text_of(const Place& place) {
  std::string text = printable(place.file);
  if (place.line > 0) text += ':' + std::to_string(place.line);
  if (place.line > 0 && place.column > 0) text += ':' + std::to_string(place.column);
  return text;
}

void Findings::add(Place place, std::string text) {
  if (all_.size() == kMax)
    ++left_out_;
  else
    all_.push_back({std::move(place), std::move(text)});
}

std::vector<Finding> Findings::list() const {
  std::vector<std::string_view> files;
  for (const Finding& finding : all_)
    if (std::ranges::find(files, finding.place.file) == files.end())
      files.push_back(finding.place.file);
  std::vector<Finding> sorted = all_;
  std::ranges::stable_sort(sorted, {}, [&](const Finding& finding) {
    return std::tuple(std::ranges::find(files, finding.place.file) - files.begin(),
                      finding.place.line, finding.place.column);
  });
  return sorted;
}

std::string Findings::text() const {
  std::string text;
  for (const Finding& finding : list()) text += text_of(finding.place) + ": " + finding.text + '\n';
  if (left_out_ > 0) text += "and " + std::to_string(left_out_) + " more\n";
  return text;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > kWordMax) return {};
  const std::string meant = lower(word);
  // A third of the letters may be wrong: more is another word.
  std::size_t best = meant.size() / 3 + 2;
  std::string_view found;
  for (const std::string_view name : known) {
    if (name.size() > kWordMax) continue;
    const std::size_t far = distance(meant, lower(name));
    if (far < best && far < std::max(meant.size(), name.size())) {
      best = far;
      found = name;
    }
  }
  return found;
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& known) {
  if (const auto near = nearest(word, known); !near.empty())
    return "; is it '" + printable(near, 80) + "'?";
  if (known.empty() || known.size() > kListedMax) return {};
  std::string text;
  for (const std::string_view name : known)
    text += (text.empty() ? "; known are " : ", ") + printable(name, 80);
  return text;
}

}  // namespace lamina::sim
