using VllmNative.Diagnostics;

namespace VllmNative.Requests;

/// <summary>How a prompt becomes a vector.</summary>
public sealed record PoolingParams
{
    /// <summary>Which tokens count.</summary>
    /// <remarks>With <see cref="PoolingType.Mean"/> the whole prompt is computed, whatever the prefix cache has.</remarks>
    public PoolingType Pooling { get; init; }

    /// <summary>Whether the vector is divided by its Euclidean length, so that products of two are cosines.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>Keeps only the last tokens of a longer prompt; -1 = as many as the context holds beside one new token; null = a longer prompt is an error.</summary>
    public int? TruncatePromptTokens { get; init; }

    /// <summary>Checks every rule.</summary>
    /// <exception cref="InvalidRequestException">The first rule that is broken, with parameter, value and range.</exception>
    public void Validate()
    {
        if (!Enum.IsDefined(Pooling))
        {
            throw SamplingParams.Invalid("pooling", $"pooling is {(int)Pooling}, expected Last or Mean");
        }

        SamplingParams.ValidateTruncation(TruncatePromptTokens);
    }
}
