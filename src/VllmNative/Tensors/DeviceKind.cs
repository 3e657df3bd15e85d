using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>What computes.</summary>
public enum DeviceKind
{
    /// <summary>This machine's processor: the embedded default.</summary>
    Cpu = NativeConstants.DeviceCpu,

    /// <summary>An NVIDIA GPU, through the CUDA plugin.</summary>
    Cuda = NativeConstants.DeviceCuda,
}
