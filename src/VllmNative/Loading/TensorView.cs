using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace VllmNative.Loading;

/// <summary>
/// A tensor inside a mapped file. It copies nothing and keeps the file object alive; after the file's Dispose it throws.
/// Data is not aligned beyond one byte: the format promises no alignment.
/// </summary>
internal readonly unsafe struct TensorView
{
    private readonly SafetensorsFile _owner;
    private readonly SafetensorsEntry _entry;

    internal TensorView(SafetensorsFile owner, in SafetensorsEntry entry)
    {
        _owner = owner;
        _entry = entry;
    }

    /// <summary>Name in the file.</summary>
    public string Name => _entry.Name;

    /// <summary>Element type.</summary>
    public SafetensorsDtype Dtype => _entry.Dtype;

    /// <summary>Dimensions, outermost first; empty for a scalar.</summary>
    public ImmutableArray<long> Shape => ImmutableCollectionsMarshal.AsImmutableArray(_entry.Shape);

    /// <summary>Size in bytes.</summary>
    public long ByteLength => _entry.ByteLength;

    /// <summary>The file that holds the tensor.</summary>
    public SafetensorsFile File => _owner;

    /// <summary>First byte, valid until the file is disposed; for an empty tensor it must not be read.</summary>
    public byte* Data => _owner.DataAt(_entry.Begin);

    /// <summary>The bytes, for tensors below 2 GiB.</summary>
    /// <exception cref="InvalidOperationException">The tensor is too large for a span; use <see cref="Data"/>.</exception>
    public ReadOnlySpan<byte> Bytes => ByteLength <= int.MaxValue
        ? new ReadOnlySpan<byte>(Data, (int)ByteLength)
        : throw new InvalidOperationException($"Tensor {Name} has {ByteLength} bytes, more than a span can hold.");
}
