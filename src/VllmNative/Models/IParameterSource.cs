using VllmNative.Layers;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>One checkpoint matrix or vector and how many of its rows there are; several merge into one parameter.</summary>
internal readonly record struct ParameterPart(string Name, int Rows);

/// <summary>Where a model's parameters come from: a checkpoint, or nowhere (dummy weights for benchmarks).</summary>
internal interface IParameterSource
{
    /// <summary>A GEMM or lookup matrix whose rows are those of the parts, in order.</summary>
    Weight Matrix(bool lookup, int columns, ReadOnlySpan<ParameterPart> parts);

    /// <summary>A vector whose entries are those of the parts, in order.</summary>
    Parameter Vector(ReadOnlySpan<ParameterPart> parts);
}
