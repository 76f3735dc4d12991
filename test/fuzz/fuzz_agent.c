#include "provider/agent.h"

#include "fuzz/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) { return fuzz_dialect(&dialect_exec, data, n); }
