using System.Diagnostics;
using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>
/// The KV of static batching: the pool divided into rows of adjacent blocks. A request owns a whole row from its admission to its end,
/// however little of it it fills, so that rows stay in one piece and nobody who runs is ever short of blocks.
/// </summary>
internal sealed class StaticRows
{
    private readonly BlockPool _pool;
    private readonly int[][] _tables;

    /// <param name="pool">Whose blocks they are; nobody else takes any.</param>
    /// <param name="blocksPerRow">Blocks of a row.</param>
    internal StaticRows(BlockPool pool, int blocksPerRow)
    {
        Debug.Assert(pool.Used == 0, "blocks are divided before anybody has some");
        _pool = pool;
        BlocksPerRow = blocksPerRow;
        _tables = [.. Enumerable.Range(0, (pool.Total - 1) / blocksPerRow).Select(row => Enumerable.Range(1 + (row * blocksPerRow), blocksPerRow).ToArray())];
    }

    internal int BlocksPerRow { get; }

    internal int Count => _tables.Length;

    /// <summary>Gives a request a row; there is a free one.</summary>
    internal void Take(Request request)
    {
        // Blocks of a row come and go together: the first one stands for all.
        int row = 0;
        while (_pool.ReferencesOf(_tables[row][0]) > 0)
        {
            row++;
        }

        _pool.Take(_tables[row]);
        (request.Blocks, request.BlockCount) = (_tables[row], BlocksPerRow);
    }
}
