using VllmNative.Diagnostics;

namespace VllmNative.Requests;

/// <summary>What a request asks of the scheduler and of the prefix cache, beside what it samples.</summary>
public sealed record RequestScheduling
{
    private const int MaxKeyLength = 1024;

    internal static RequestScheduling Default { get; } = new();

    /// <summary>With policy "priority": lower is served first.</summary>
    public int Priority { get; init; }

    /// <summary>With policy "fair": whose share it counts against, 1..1024 characters; null = everybody without a name.</summary>
    public string? User { get; init; }

    /// <summary>Requests share cached prefixes only with requests of the same salt, 1..1024 characters; null = none.</summary>
    public string? CacheSalt { get; init; }

    /// <summary>Whether the whole prompt is computed, whatever the prefix cache has.</summary>
    public bool SkipReadingPrefixCache { get; init; }

    /// <summary>Checks every rule.</summary>
    /// <exception cref="InvalidRequestException">The first rule that is broken, with parameter, value and range.</exception>
    public void Validate()
    {
        Length("user", User);
        Length("cache_salt", CacheSalt);
    }

    private static void Length(string name, string? value)
    {
        if (value is { Length: 0 or > MaxKeyLength })
        {
            throw new InvalidRequestException(name, $"{name} has {value.Length} characters, expected 1..{MaxKeyLength}");
        }
    }
}
