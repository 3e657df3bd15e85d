using System.Text.Json;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Cli.Rendering;

/// <summary>Log-probabilities on stderr, one line for each token.</summary>
internal static class LogprobLines
{
    internal static void Write(IReadOnlyList<PositionLogprobs>? positions, Tokenizer? tokenizer)
    {
        foreach (PositionLogprobs position in positions ?? [])
        {
            string best = string.Join("  ", position.Top.Select(top => Format(top, tokenizer)));
            Console.Error.WriteLine($"{Format(position.Sampled, tokenizer)} rank {position.Sampled.Rank}: {best}".TrimEnd(':', ' '));
        }
    }

    // As a JSON string, so that spaces, line breaks and halves of characters show.
    private static string Format(TokenLogprob token, Tokenizer? tokenizer)
    {
        string text = tokenizer is null ? $"#{token.TokenId}" : JsonEncodedText.Encode(tokenizer.Decode([token.TokenId], skipSpecialTokens: false)).ToString();
        return $"\"{text}\" {token.Logprob:0.0000}";
    }
}
