// The scripts of layers, run on the volume after the apply that brought them.
#pragma once

#include "node/worker/transaction.hpp"

namespace lamina::node {

// Runs the scripts that are due, in their order, and keeps how each ended (Transaction::aftermath).
// What one of them does, or fails to do, undoes nothing and keeps no other one from running. After
// a kill the one that was running begins anew, twice at the most: each runs at least once.
Status run_scripts(Transaction& transaction);

}  // namespace lamina::node
