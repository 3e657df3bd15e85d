using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>Looks prompts up in a prefix index that another thread goes on changing, and says later what of it is still true.</summary>
internal static class PrefixPath
{
    /// <summary>Looks a prompt up; on any thread. Null when nothing was found.</summary>
    /// <param name="index">May change meanwhile.</param>
    /// <param name="root">Id of the root.</param>
    /// <param name="prompt">Token ids.</param>
    /// <param name="hashes">Of the prompt's blocks.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    internal static ForeseenPrefix? Find(PrefixIndex index, long root, ReadOnlySpan<int> prompt, ReadOnlySpan<ulong> hashes, int blockSize)
    {
        // At least one token is left to compute.
        int most = Math.Min((prompt.Length - 1) / blockSize, index.Capacity);
        (int Node, long Id)[]? nodes = null;
        int found = 0;
        for (long parent = root; found < most; found++)
        {
            int node = index.FindFromOutside(parent, hashes[found], prompt.Slice(found * blockSize, blockSize), out long id);
            if (node == PrefixIndex.None)
            {
                break;
            }

            nodes ??= new (int, long)[most];
            nodes[found] = (node, id);
            parent = id;
        }

        return nodes is null ? null : new ForeseenPrefix(root, nodes[..found]);
    }

    /// <summary>The leading nodes that are still what they were; on the index's own thread.</summary>
    /// <param name="foreseen">What was found.</param>
    /// <param name="nodes">Receives them, as many as there is room for.</param>
    /// <param name="index">The same as then.</param>
    /// <param name="root">Id of the root that the request begins at now.</param>
    /// <returns>How many.</returns>
    internal static int CopyTo(ForeseenPrefix foreseen, Span<int> nodes, PrefixIndex index, long root)
    {
        int most = root == foreseen.Root ? Math.Min(nodes.Length, foreseen.Nodes.Length) : 0;
        int valid = 0;
        while (valid < most && foreseen.Nodes[valid] is var (node, id) && index.IdOf(node) == id)
        {
            nodes[valid++] = node;
        }

        return valid;
    }
}
