using System.Diagnostics;
using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>
/// A view of device memory of up to three dimensions, the last one contiguous. A struct: making a view allocates nothing. It
/// does not keep the memory alive; whoever stores a tensor stores its <see cref="DeviceBuffer"/> too.
/// </summary>
[DebuggerDisplay("{Type} [{Dim0}, {Dim1}, {Dim2}] rank {Rank}")]
internal readonly struct Tensor
{
    private readonly long _stride0;
    private readonly long _stride1;
    private readonly long _stride2;

    private Tensor(nint data, DataType type, int rank, long dim0, long dim1, long dim2, long stride0, long stride1, long stride2)
    {
        Data = data;
        Type = type;
        Rank = rank;
        (Dim0, Dim1, Dim2) = (dim0, dim1, dim2);
        (_stride0, _stride1, _stride2) = (stride0, stride1, stride2);
    }

    internal nint Data { get; }

    internal DataType Type { get; }

    internal int Rank { get; }

    internal long Dim0 { get; }

    internal long Dim1 { get; }

    internal long Dim2 { get; }

    /// <summary>Whether there is a tensor at all: operations take absent ones as "none".</summary>
    internal bool IsPresent => Rank != 0;

    internal static Tensor Vector(nint data, DataType type, long length) => new(data, type, 1, length, 1, 1, 1, 1, 1);

    internal static Tensor Matrix(nint data, DataType type, long rows, long columns) => new(data, type, 2, rows, columns, 1, columns, 1, 1);

    internal static Tensor Cube(nint data, DataType type, long dim0, long dim1, long dim2) =>
        new(data, type, 3, dim0, dim1, dim2, dim1 * dim2, dim2, 1);

    /// <summary>The first entries of the first dimension.</summary>
    internal Tensor Take(long count)
    {
        Debug.Assert(count >= 0 && count <= Dim0, "a view goes past its tensor");
        return new(Data, Type, Rank, count, Dim1, Dim2, _stride0, _stride1, _stride2);
    }

    /// <summary>One entry of the first dimension.</summary>
    internal Tensor At(long index)
    {
        Debug.Assert(index >= 0 && index < Dim0 && Rank > 1, "a view goes past its tensor");
        return new(Data + (nint)(index * _stride0 * Type.Size()), Type, Rank - 1, Dim1, Dim2, 1, _stride1, _stride2, 1);
    }

    /// <summary>Columns [first, first + heads * dim) of a matrix as [rows, heads, dim].</summary>
    internal Tensor Heads(long first, long heads, long dim)
    {
        Debug.Assert(Rank == 2 && first + (heads * dim) <= Dim1, "heads go past the matrix");
        return new(Data + (nint)(first * Type.Size()), Type, 3, Dim0, heads, dim, _stride0, dim, 1);
    }

    /// <summary>The form in which the tensor crosses the C ABI.</summary>
    internal NativeTensor ToNative()
    {
        NativeTensor native = default;
        if (Rank == 0)
        {
            return native;
        }

        native.Data = Data;
        native.Dtype = (int)Type;
        native.Rank = Rank;
        (native.Shape[0], native.Shape[1], native.Shape[2]) = (Dim0, Dim1, Dim2);
        (native.Stride[0], native.Stride[1], native.Stride[2]) = (_stride0, _stride1, _stride2);
        return native;
    }
}
