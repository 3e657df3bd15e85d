namespace VllmNative.Tokenization.Models;

/// <summary>What two neighbouring symbols become, and how early.</summary>
internal readonly record struct Merge(int Rank, int Id);
