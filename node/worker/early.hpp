// Early: what a start of the machine does with its volume before anything runs from it.
//
// It carries out what waits there, has the machine start from the outcome, and goes back when that
// does not come up: when kStartsMax starts were begun and none was said to be good, or when the
// boot loader gave up. The power may fail anywhere: the next start goes on where this one was.
#pragma once

#include "node/worker/boot_loader.hpp"
#include "node/worker/transaction.hpp"

namespace lamina::node {

enum class EarlyEnd { go_on, restart };

// After an error the machine goes on with the volume as it is: it is wholly one or the other, or
// the text says that it is between two states.
Result<EarlyEnd> start_early(Transaction& transaction, BootLoader& loader);

constexpr int kStartsMax = 3;

}  // namespace lamina::node
