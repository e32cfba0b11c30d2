// Which kernels this processor can run.
#pragma once
#include <string>
#include <vector>

#include "tables.h"

namespace speech {

// Best first; never empty.
const std::vector<const Kernels*>& runnable_kernels();

// By name, or null; also finds "amx_emulated", which is for tests and not listed.
const Kernels* named_kernels(const std::string& name);

}  // namespace speech
