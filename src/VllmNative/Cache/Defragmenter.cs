using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Cache;

/// <summary>
/// Moves the blocks of requests so that each has them one behind the other: what is swapped out then goes in few long copies.
/// Only with no step in flight; never needed for correctness. Moves go to free blocks, so several passes may be needed.
/// </summary>
internal sealed class Defragmenter(BlockPool pool, PrefixCache? prefixes, int maxMoves)
{
    /// <summary>Runs of adjacent blocks over all these requests.</summary>
    internal static int RunsOf(IEnumerable<Request> requests) => requests.Sum(request =>
    {
        int runs = request.BlockCount == 0 ? 0 : 1;
        for (int i = 1; i < request.BlockCount; i++)
        {
            runs += request.Blocks[i] == request.Blocks[i - 1] + 1 ? 0 : 1;
        }

        return runs;
    });

    /// <summary>Plans a pass: copies, and the block tables afterwards.</summary>
    /// <returns>Blocks moved.</returns>
    internal int Plan(IReadOnlyList<Request> owners, StepPlan plan)
    {
        ILookup<int, (Request Request, int Index)> tables = owners
            .SelectMany(request => Enumerable.Range(0, request.BlockCount).Select(i => (request, i)))
            .ToLookup(entry => entry.request.Blocks[entry.i]);
        // What also belongs to a copy under way or to a pin stays where it is.
        bool Movable(int block) => pool.ReferencesOf(block) == tables[block].Count();
        bool[] free = new bool[pool.Total];
        foreach (int block in pool.FreeBlocks())
        {
            free[block] = true;
        }

        int moved = 0;
        foreach (Request request in owners.Where(request => !request.InTransfer && RunsOf([request]) > 1).OrderByDescending(request => request.BlockCount).ToArray())
        {
            int count = request.BlockCount;
            int start = FreeRun(free, count);
            if (start < 0 || moved + count > maxMoves || !request.Blocks.Take(count).All(Movable))
            {
                continue;
            }

            for (int i = 0; i < count; i++)
            {
                Move(request.Blocks[i], start + i, tables[request.Blocks[i]], plan);
                free[start + i] = false;
            }

            moved += count;
            // Later requests would look their blocks up under the old numbers; those that share some wait for the next pass.
            if (tables.Any(entry => entry.Count() > 1))
            {
                break;
            }
        }

        pool.SortFree();
        return moved;
    }

    // Where so many free blocks lie one behind the other; -1 = nowhere.
    private static int FreeRun(bool[] free, int count)
    {
        int run = 0;
        for (int block = 1; block < free.Length; block++)
        {
            run = free[block] ? run + 1 : 0;
            if (run == count)
            {
                return block - count + 1;
            }
        }

        return -1;
    }

    private void Move(int from, int to, IEnumerable<(Request Request, int Index)> tables, StepPlan plan)
    {
        plan.BlockCopies.Add(new BlockCopy(from, to));
        pool.Move(from, to);
        prefixes?.Index.MoveDeviceBlock(from, to);
        foreach ((Request request, int index) in tables)
        {
            request.Blocks[index] = to;
            if (request.Row >= 0)
            {
                plan.TableUpdates.Add(new TableUpdate(0, request.Row, index, to));
            }
        }
    }
}
