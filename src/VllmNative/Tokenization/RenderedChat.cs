namespace VllmNative.Tokenization;

/// <summary>A rendered conversation.</summary>
/// <param name="Text">The prompt.</param>
/// <param name="UntrustedRanges">The parts of the prompt that came from messages, tools or variables, sorted and disjoint.</param>
public sealed record RenderedChat(string Text, ReadOnlyMemory<TextRange> UntrustedRanges);
