namespace VllmNative.Diagnostics;

/// <summary>What computes.</summary>
public enum DeviceKind
{
    /// <summary>This machine's processor: the embedded default.</summary>
    Cpu = 1,

    /// <summary>An NVIDIA GPU, through the CUDA plugin.</summary>
    Cuda = 2,
}
