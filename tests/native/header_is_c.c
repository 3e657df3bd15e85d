/* The public header compiles alone, as C11, without a warning. */
#include "vllm_native.h"

int vn_header_is_c(void);
int vn_header_is_c(void) { return VN_ABI_VERSION; }
