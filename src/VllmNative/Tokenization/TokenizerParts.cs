using VllmNative.Tokenization.Decoders;
using VllmNative.Tokenization.Models;
using VllmNative.Tokenization.Normalizers;
using VllmNative.Tokenization.PreTokenizers;

namespace VllmNative.Tokenization;

/// <summary>The stages of a tokenizer, in the order text passes them.</summary>
internal sealed record TokenizerParts(
    Vocabulary Vocabulary,
    IReadOnlyList<AddedToken> AddedTokens,
    Normalizer? Normalizer,
    PreTokenizer[] PreTokenizers,
    BpeModel Model,
    SpecialTokenTemplate Template,
    TokenDecoder Decoder);
