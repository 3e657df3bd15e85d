using VllmNative.Recording;

namespace VllmNative.Simulation;

/// <summary>
/// Tokens for requests of which only block hashes are known: equal hashes give equal blocks, others differ, and what does not fill a
/// block is like nothing else.
/// </summary>
internal sealed class SyntheticTokens(int blockSize)
{
    private readonly Dictionary<ulong, int> _numbers = [];

    /// <summary>The block numbers of a request, which <see cref="At"/> needs.</summary>
    internal int[] NumbersOf(RecordedRequest request)
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

        return numbers;
    }

    /// <summary>The token at a position of a request.</summary>
    /// <param name="numbers">Its blocks.</param>
    /// <param name="requestNumber">Its own number, above 0.</param>
    /// <param name="position">In prompt and output.</param>
    internal int At(int[] numbers, int requestNumber, int position)
    {
        // The first token of a block says which one it is.
        if (position % blockSize != 0)
        {
            return 0;
        }

        int block = position / blockSize;
        return block < numbers.Length ? numbers[block] : -requestNumber;
    }
}
