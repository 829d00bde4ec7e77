#include "shared/base/result.hpp"

namespace lamina {

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::not_found: return "not_found";
    case ErrorKind::corrupt: return "corrupt";
    case ErrorKind::unavailable: return "unavailable";
    case ErrorKind::out_of_space: return "out_of_space";
    case ErrorKind::invalid: return "invalid";
    case ErrorKind::refused: return "refused";
  }
  return "unknown";
}

}  // namespace lamina
