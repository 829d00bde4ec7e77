// What quotas say, in words, and where they lie. Pure; any thread.
#pragma once

#include <string>

#include "shared/wire/device_life.hpp"

namespace lamina::origin {

// "the CVD came to 410 GiB of 400 GiB, the warning level". Of a standing whose level is reached.
std::string how_full(const wire::QuotaStanding& standing);

// The row of a collection's quota, a wire::QuotaRule.
std::string quota_key(const std::string& collection);

}  // namespace lamina::origin
