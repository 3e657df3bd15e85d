# Decides whether the CUDA plugin is built; sets VN_BUILD_CUDA and VN_CUDA_REASON.
set(VN_BUILD_CUDA OFF)
set(VN_CUDA_REASON "no CUDA sources yet")
