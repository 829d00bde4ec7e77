// Tar files for the tests, header by header (tar(5)): what no tar program would write as well.
#pragma once

#include <cstdio>
#include <map>
#include <string>

namespace lamina::tests {

struct TarHeader {
  char type = '0';
  unsigned mode = 0644;
  std::string target;
  unsigned long long size = 0;  // What it claims; 0: what there is.
  std::string pax;              // Records for the next header, as pax() makes them.
  long long time = 1'600'000'000;
  unsigned major = 0, minor = 0;
  unsigned uid = 0, gid = 0;
};

class TarBytes {
 public:
  using Header = TarHeader;

  // "LENGTH key=value\n", which counts its own length.
  static std::string pax(const std::string& key, const std::string& value) {
    const std::string rest = ' ' + key + '=' + value + '\n';
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
  }

  TarBytes& add(const std::string& name, const std::string& content = "", Header header = {}) {
    if (!header.pax.empty()) put("pax", header.pax, {.type = 'x'});
    put(name, content, header);
    return *this;
  }
  TarBytes& file(const std::string& name, const std::string& content = "") {
    return add(name, content);
  }
  TarBytes& directory(const std::string& name, unsigned mode = 0755) {
    return add(name, "", {.type = '5', .mode = mode});
  }
  TarBytes& symlink(const std::string& name, const std::string& target) {
    return add(name, "", {.type = '2', .target = target});
  }
  TarBytes& hard_link(const std::string& name, const std::string& target) {
    return add(name, "", {.type = '1', .target = target});
  }

  std::string bytes() const { return bytes_ + std::string(1024, '\0'); }
  const std::string& unended() const { return bytes_; }

 private:
  static std::string octal(unsigned long long value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%0*llo", digits, value);
    return text;
  }

  void put(const std::string& name, const std::string& content, const Header& header) {
    std::string block(512, '\0');
    const auto set = [&block](std::size_t at, const std::string& text, std::size_t most) {
      block.replace(at, std::min(text.size(), most), text.substr(0, most));
    };
    set(0, name, 100);
    set(100, octal(header.mode, 7), 7);
    set(108, octal(header.uid, 7), 7);
    set(116, octal(header.gid, 7), 7);
    set(124, octal(header.size > 0 ? header.size : content.size(), 11), 11);
    set(136, octal(static_cast<unsigned long long>(header.time), 11), 11);
    set(156, std::string(1, header.type), 1);
    set(157, header.target, 100);
    set(257,
        std::string("ustar\0"
                    "00",
                    8),
        8);
    set(329, octal(header.major, 7), 7);
    set(337, octal(header.minor, 7), 7);
    set(148, "        ", 8);
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    set(148, octal(sum, 6) + '\0' + ' ', 8);
    bytes_ += block + content + std::string((512 - content.size() % 512) % 512, '\0');
  }

  std::string bytes_;
};

}  // namespace lamina::tests
