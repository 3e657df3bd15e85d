namespace VllmNative.Cache;

/// <summary>
/// What the prefix index had of a prompt when another thread looked: nodes in order, with their ids. The index has gone on since; a node
/// that still has its id stands for the same tokens behind the same node.
/// </summary>
internal sealed class PrefixPath
{
    private readonly long _root;
    private readonly (int Node, long Id)[] _nodes;

    private PrefixPath(long root, (int Node, long Id)[] nodes) => (_root, _nodes) = (root, nodes);

    internal int Count => _nodes.Length;

    /// <summary>Looks a prompt up; on any thread. Null when nothing was found.</summary>
    /// <param name="index">May change meanwhile.</param>
    /// <param name="root">Id of the root.</param>
    /// <param name="prompt">Token ids.</param>
    /// <param name="hashes">Of the prompt's blocks.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    internal static PrefixPath? Find(PrefixIndex index, long root, ReadOnlySpan<int> prompt, ReadOnlySpan<ulong> hashes, int blockSize)
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

        return nodes is null ? null : new PrefixPath(root, nodes[..found]);
    }

    /// <summary>The leading nodes that are still what they were.</summary>
    /// <param name="nodes">Receives them, as many as there is room for.</param>
    /// <param name="index">The same as then.</param>
    /// <param name="root">Id of the root that the request begins at now.</param>
    /// <returns>How many.</returns>
    internal int CopyTo(Span<int> nodes, PrefixIndex index, long root)
    {
        int most = root == _root ? Math.Min(nodes.Length, _nodes.Length) : 0;
        int valid = 0;
        while (valid < most && index.IdOf(_nodes[valid].Node) == _nodes[valid].Id)
        {
            nodes[valid] = _nodes[valid].Node;
            valid++;
        }

        return valid;
    }
}
