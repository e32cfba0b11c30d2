// Which kernels this processor can run.
#pragma once
#include <vector>

#include "tables.h"

namespace speech {

// Best first; never empty.
const std::vector<const Kernels*>& runnable_kernels();

}  // namespace speech
