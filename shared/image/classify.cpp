#include "shared/image/classify.hpp"

#include "shared/image/rules.hpp"

namespace lamina::image {

Attribution classify(std::string_view path, bool is_directory, std::optional<std::size_t> layer) {
  if (const Rule* rule = factory_rule(path, is_directory))
    return {rule->area == Area::user ? Origin::user : Origin::machine};
  if (!layer) return {Origin::machine};
  if (*layer == 0) return {Origin::base};
  return {Origin::app, *layer};
}

}  // namespace lamina::image
