// The formats of files that are merged by record. The first byte chooses the format, and a 0xff
// ends the first and the second of three files, about which the laws of records must hold.
#include <cstdint>
#include <span>

#include "shared/base/bytes.hpp"
#include "tests/shared/image/records/laws.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = as_text(std::as_bytes(std::span(data, size)));
  const auto take = [&](char end) {
    const std::size_t at = input.find(end);
    const std::string_view part = input.substr(0, at);
    input.remove_prefix(at == std::string_view::npos ? input.size() : at + 1);
    return part;
  };
  if (input.empty()) return 0;
  const auto rules = image::record_rules();
  const auto chosen = static_cast<std::uint8_t>(input.front()) % rules.size();
  input.remove_prefix(1);
  const std::string_view a = take('\xff'), b = take('\xff'), c = input;
  image::check_record_laws(rules[chosen].format, a, b, c);
  return 0;
}
