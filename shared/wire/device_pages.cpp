#include "shared/wire/device_pages.hpp"

namespace lamina::wire {

Status for_each_device(const Get& get, const std::function<void(DeviceInfo&& device)>& visit) {
  std::optional<DeviceId> last;
  for (;;) {
    const std::string path = "/v1/devices?after=" + (last ? last->hex() : "");
    const auto body = get(path);
    if (!body) return fail(body.error());
    auto page = parse_device_list(*body);
    if (!page) return fail(std::move(page.error()).in(path));
    const bool has_more = page->more.value_or(false);
    if (has_more && page->devices.empty())
      return fail(ErrorKind::corrupt, path + ": an empty page, and more to come");
    for (DeviceInfo& device : page->devices) {
      if (last && device.id <= *last)
        return fail(ErrorKind::corrupt, path + ": device " + device.id.hex() + " is out of order");
      last = device.id;
      visit(std::move(device));
    }
    if (!has_more) return Done{};
  }
}

}  // namespace lamina::wire
