// What a device has beside its layers, for an enforcement that removes it. One thread.
#pragma once

#include <memory>

#include "shared/format/entry.hpp"
#include "shared/image/protection.hpp"
#include "shared/os/beneath.hpp"

namespace lamina::node {

// The entries of `stack`, and those of the volume that are in none of it and do not stay
// (Protection::stays_unowned), as one stream in path order. `volume` and `protection`, which is the
// device's, must outlive it. What cannot be read on the volume is not in it.
std::unique_ptr<format::EntryStream> with_others(std::unique_ptr<format::EntryStream> stack,
                                                 const os::Root& volume,
                                                 const image::Protection& protection);

}  // namespace lamina::node
