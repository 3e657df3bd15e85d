using System.Text;
using VllmNative.Tokenization;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>The demo model's tokenizer over prose that differs from call to call, so that no cache of whole texts answers.</summary>
internal sealed class TokenizerWorkload
{
    private static readonly string[] Words =
        ["the", "Lantern", "under", "old", "bridge,", "seven", "robots", "2026", "walked", "slowly", "river's", "purple", "scarf.", "and", "quietly", "said:"];

    private readonly Tokenizer _tokenizer = Tokenizer.FromDirectory(BenchmarkFiles.Asset("models", "demo"));
    private readonly string[] _texts;
    private readonly int[] _ids;
    private int _turn;

    internal TokenizerWorkload()
    {
        var random = new Random(1);
        // More texts than the cache of encodings keeps.
        _texts = [.. Enumerable.Range(0, 1500).Select(_ => Prose(random, 4096))];
        TextBytes = Encoding.UTF8.GetByteCount(_texts[0]);
        _ids = _tokenizer.Encode(_texts[0]);
    }

    internal int TextBytes { get; }

    internal int Tokens => _ids.Length;

    internal int Encode() => _tokenizer.Encode(_texts[_turn++ % _texts.Length]).Length;

    internal int Decode() => _tokenizer.Decode(_ids).Length;

    private static string Prose(Random random, int length)
    {
        var text = new StringBuilder(length + 16);
        while (text.Length < length)
        {
            text.Append(Words[random.Next(Words.Length)]).Append(random.Next(12) == 0 ? '\n' : ' ');
        }

        return text.ToString(0, length);
    }
}
