namespace VllmNative.Loading;

/// <summary>
/// Upper bounds of config values: far above any real model, and low enough that the product of any three of them
/// still fits in 64 bits.
/// </summary>
internal static class ModelConfigLimits
{
    public const int Hidden = 1 << 20;
    public const int Intermediate = 1 << 22;
    public const int Layers = 4096;
    public const int Heads = 4096;
    public const int HeadDim = 1024;
    public const int Vocab = 1 << 24;
    public const int Context = 1 << 27;
}
