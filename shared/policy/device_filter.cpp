#include "shared/policy/device_filter.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"
#include "shared/base/wildcard.hpp"

namespace lamina::policy {
namespace {

constexpr int kDepthMax = 32;  // Of brackets and "not".

}  // namespace

class FilterParser {
 public:
  using Kind = DeviceFilter::Step::Kind;

  FilterParser(std::string_view text, const std::function<bool(std::string_view)>& is_fact)
      : text_(text), is_fact_(is_fact) {}

  Result<DeviceFilter> parse() {
    if (text_.size() > kFilterMax)
      return fail(ErrorKind::invalid,
                  "a filter has at most " + std::to_string(kFilterMax) + " bytes");
    if (auto done = next(); !done) return fail(std::move(done.error()));
    if (auto done = filter(0); !done) return fail(std::move(done.error()));
    if (!word_.empty()) return fail(wrong("'and', 'or' or the end"));
    return std::move(filter_);
  }

 private:
  Error wrong(const std::string& wanted) const {
    return {ErrorKind::invalid,
            "filter '" + printable(text_, 200) + "': " + wanted + " is needed " +
                (word_.empty() ? std::string("at the end")
                               : "where '" + printable(word_, 60) + "' stands")};
  }

  // Goes to the next word; an empty one is the end.
  Status next() {
    is_quoted_ = false;
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    const std::size_t begin = at_;
    if (at_ == text_.size()) {
      word_ = {};
    } else if (text_[at_] == '\'') {
      const std::size_t end = text_.find('\'', at_ + 1);
      if (end == std::string_view::npos)
        return fail(ErrorKind::invalid,
                    "filter '" + printable(text_, 200) + "': a quote is not closed");
      is_quoted_ = true;
      word_ = text_.substr(begin + 1, end - begin - 1);
      at_ = end + 1;
    } else {
      constexpr std::string_view kEnds = " \t\r\n()='!";
      if (text_.substr(at_).starts_with("!="))
        at_ += 2;
      else if (kEnds.find(text_[at_]) != std::string_view::npos)
        ++at_;
      else
        at_ = std::min(text_.find_first_of(kEnds, at_), text_.size());
      word_ = text_.substr(begin, at_ - begin);
    }
    return Done{};
  }
  bool is_word(std::string_view word) const { return !is_quoted_ && word_ == word; }

  Status filter(int depth) {
    if (auto done = group(depth); !done) return done;
    while (is_word("or")) {
      if (auto done = next(); !done) return done;
      if (auto done = group(depth); !done) return done;
      filter_.steps_.push_back({.kind = Kind::either});
    }
    return Done{};
  }

  Status group(int depth) {
    if (auto done = test(depth); !done) return done;
    while (is_word("and")) {
      if (auto done = next(); !done) return done;
      if (auto done = test(depth); !done) return done;
      filter_.steps_.push_back({.kind = Kind::both});
    }
    return Done{};
  }

  Status test(int depth) {
    if (depth == kDepthMax) return fail(wrong("a flatter filter"));
    if (is_word("not")) {
      if (auto done = next(); !done) return done;
      if (auto done = test(depth + 1); !done) return done;
      filter_.steps_.push_back({.kind = Kind::negate});
      return Done{};
    }
    if (is_word("(")) {
      if (auto done = next(); !done) return done;
      if (auto done = filter(depth + 1); !done) return done;
      if (!is_word(")")) return fail(wrong("')'"));
      return next();
    }
    return comparison();
  }

  Status comparison() {
    if (is_quoted_ || !is_fact_(word_)) return fail(wrong("the name of a fact"));
    DeviceFilter::Step step{.kind = Kind::equal, .fact = std::string(word_)};
    if (auto done = next(); !done) return done;
    if (is_word("!="))
      step.kind = Kind::unequal;
    else if (is_word("in"))
      step.kind = Kind::in;
    else if (!is_word("="))
      return fail(wrong("'=', '!=' or 'in'"));
    if (auto done = next(); !done) return done;
    if (!is_quoted_ && (word_.empty() || word_ == "(" || word_ == ")" || word_ == "="))
      return fail(wrong("a value"));
    step.value = std::string(word_);
    if (step.kind == Kind::in) {
      auto subnet = parse_subnet(word_);
      if (!subnet) return fail(std::move(subnet.error()).in("filter"));
      step.subnet = *subnet;
    }
    filter_.steps_.push_back(std::move(step));
    return next();
  }

  std::string_view text_;
  const std::function<bool(std::string_view)>& is_fact_;
  std::size_t at_ = 0;
  std::string_view word_;
  bool is_quoted_ = false;
  DeviceFilter filter_;
};

Result<DeviceFilter> DeviceFilter::parse(std::string_view text,
                                         const std::function<bool(std::string_view)>& is_fact) {
  return FilterParser(text, is_fact).parse();
}

bool DeviceFilter::matches(const Facts& facts) const {
  std::vector<bool> answers;
  for (const Step& step : steps_) {
    using Kind = Step::Kind;
    if (step.kind == Kind::negate) {
      answers.back() = !answers.back();
    } else if (step.kind == Kind::both || step.kind == Kind::either) {
      const bool last = answers.back();
      answers.pop_back();
      answers.back() = step.kind == Kind::both ? answers.back() && last : answers.back() || last;
    } else {
      const bool found = std::ranges::any_of(facts(step.fact), [&](const std::string& value) {
        if (step.kind != Kind::in) return matches_wildcard(step.value, value);
        const auto address = parse_address(value);
        return address && contains(step.subnet, *address);
      });
      answers.push_back(found != (step.kind == Kind::unequal));
    }
  }
  LAMINA_ASSERT(answers.size() == 1);
  return answers.back();
}

}  // namespace lamina::policy
