#include "shared/store/content_class.hpp"

#include <algorithm>

namespace lamina {
namespace {

bool any_of(std::string_view extension, std::initializer_list<std::string_view> known) {
  return std::ranges::find(known, extension) != known.end();
}

bool begins(ByteView bytes, std::string_view magic) { return as_text(bytes).starts_with(magic); }

}  // namespace

ContentClass classify_content(std::string_view path, ByteView first) {
  if (begins(first,
             "\x7f"
             "ELF"))
    return ContentClass::machine_code;
  using namespace std::string_view_literals;
  for (const auto magic :
       {"\x1f\x8b"sv,
        "\xfd"
        "7zXZ"sv,
        "BZh"sv, "\x28\xb5\x2f\xfd"sv, "\x89PNG"sv, "\xff\xd8\xff"sv, "OggS"sv, "wOF2"sv})
    if (begins(first, magic)) return ContentClass::compressed;
  // m: 83 MB of a browser's are 24 MB at level 3.
  if (begins(first, "PK\3\4")) return ContentClass::archive;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  const std::string_view extension = dot == std::string_view::npos ? "" : name.substr(dot + 1);
  if (any_of(extension, {"o", "a", "so", "ko"})) return ContentClass::machine_code;
  if (begins(first, "#!") ||
      any_of(extension, {"py", "pl", "pm", "sh", "c", "h", "hpp", "cpp", "js", "rb", "lua", "tcl"}))
    return ContentClass::source;
  if (any_of(extension, {"txt", "md", "html", "conf", "list", "md5sums", "xml", "json", "copyright",
                         "postinst", "prerm", "service", "po", "css"}) ||
      path.find("/doc/") != std::string_view::npos || path.starts_with("etc/"))
    return ContentClass::text;
  return ContentClass::data;
}

}  // namespace lamina
