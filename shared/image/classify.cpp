#include "shared/image/classify.hpp"

namespace lamina::image {

Attribution classify(const Protection& protection, std::string_view path, bool is_directory,
                     std::optional<std::size_t> layer) {
  if (const Rule* rule = protection.own_rule(path, is_directory))
    return {rule->area == Area::user ? Origin::user : Origin::machine};
  if (!layer) return {Origin::machine};
  if (*layer == 0) return {Origin::base};
  return {Origin::app, *layer};
}

}  // namespace lamina::image
