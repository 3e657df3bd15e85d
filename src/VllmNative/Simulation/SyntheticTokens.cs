using VllmNative.Recording;

namespace VllmNative.Simulation;

/// <summary>
/// Tokens for requests of which only block hashes are known: equal hashes give equal blocks, others differ, and what does not fill a
/// block is like nothing else.
/// </summary>
internal sealed class SyntheticTokens(int blockSize)
{
    private readonly Dictionary<ulong, int> _numbers = [];

    /// <summary>The tokens of a recorded request.</summary>
    /// <param name="request">Prompt and output.</param>
    /// <param name="unique">A number above 0, of no other sequence: it stands for what fills no block of the record.</param>
    internal SyntheticSequence Of(RecordedRequest request, int unique)
    {
        var numbers = new int[request.Blocks.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (!_numbers.TryGetValue(request.Blocks[i], out numbers[i]))
            {
                numbers[i] = _numbers.Count + 1;
                _numbers.Add(request.Blocks[i], numbers[i]);
            }
        }

        return new SyntheticSequence(numbers, unique, blockSize);
    }
}

/// <summary>The tokens of a sequence, by position in prompt and output.</summary>
internal readonly struct SyntheticSequence(int[] numbers, int unique, int blockSize)
{
    internal int this[int position]
    {
        get
        {
            // The first token of a block says which one it is.
            if (position % blockSize != 0)
            {
                return 0;
            }

            int block = position / blockSize;
            return block < numbers.Length ? numbers[block] : -unique;
        }
    }

    /// <summary>The first tokens.</summary>
    internal int[] Take(int count)
    {
        var tokens = new int[count];
        for (int i = 0; i < count; i += blockSize)
        {
            tokens[i] = this[i];
        }

        return tokens;
    }

    /// <summary>A sequence that is the same as far as blocks of the record reach.</summary>
    internal SyntheticSequence With(int otherUnique) => new(numbers, otherUnique, blockSize);
}
