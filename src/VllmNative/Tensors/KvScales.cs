namespace VllmNative.Tensors;

/// <summary>What one layer's elements of an fp8 KV cache are multiplied by when they are read.</summary>
/// <param name="Key">Of K.</param>
/// <param name="Value">Of V.</param>
internal readonly record struct KvScales(float Key, float Value)
{
    internal static KvScales One => new(1, 1);
}
