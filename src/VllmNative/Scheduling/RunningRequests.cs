using System.Diagnostics;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>Who runs, in the order in which they are served; and who holds which row of the device's batch state.</summary>
internal sealed class RunningRequests
{
    private readonly List<Request> _list;
    private readonly Request?[] _byRow;
    private readonly RowAllocator _rows;
    private readonly RowAllocator _countSlots;

    // Free rows that groups of beams have for themselves: beams wait for each other, so that two groups could wait for each other's rows.
    private int _kept;

    internal RunningRequests(SchedulerLimits limits)
    {
        Most = limits.MaxNumSeqs;
        _list = new List<Request>(limits.MaxNumSeqs);
        _byRow = new Request?[limits.MaxNumSeqs];
        _rows = new RowAllocator(limits.MaxNumSeqs);
        _countSlots = new RowAllocator(limits.MaxCountSlots);
    }

    /// <summary>The list itself, since enumerating an interface allocates.</summary>
    internal List<Request> List => _list;

    internal int Count => _list.Count;

    internal Request this[int index] => _list[index];

    /// <summary>Most requests that run at the same time; at most as many as there are rows.</summary>
    internal int Most { get; set; }

    /// <summary>The one that makes room when the pool is full.</summary>
    internal Request Last => _list[^1];

    /// <summary>Requests that leave keep their rows until their steps in flight return.</summary>
    internal bool HasRowFor(Request request) => RowsMissing(request) <= 0 && (request.Beams is not null || !request.Parameters.HasPenalties || _countSlots.Free > 0);

    /// <summary>Rows that the request lacks to begin; 0 or less = none.</summary>
    internal int RowsMissing(Request request) => request.Beams switch
    {
        { HoldsRows: true } => 1 - _rows.Free,
        { Width: var width } => width - FreeForAll,
        null => 1 - FreeForAll,
    };

    /// <summary>Whether a row is missing for everybody, not just for this one's penalties.</summary>
    internal bool Full => FreeForAll <= 0;

    private int FreeForAll => _rows.Free - _kept - (_byRow.Length - Most);

    /// <summary>Who holds a row; a row stays with its request until no step in flight uses it.</summary>
    internal Request RequestAt(int row) => _byRow[row] ?? throw new InvalidOperationException($"row {row} has no request");

    internal void Add(Request request)
    {
        request.Status = RequestStatus.Running;
        request.Row = _rows.Take();
        TakeKept(request.Beams);
        _byRow[request.Row] = request;
        request.CountSlot = request.Parameters.HasPenalties ? _countSlots.Take() : -1;
        int at = _list.Count;
        while (at > 0 && WaitingQueue.Before(request, _list[at - 1]))
        {
            at--;
        }

        _list.Insert(at, request);
    }

    /// <summary>Takes it off the list; the row stays until <see cref="ReleaseRow"/>.</summary>
    internal void Remove(Request request)
    {
        bool removed = _list.Remove(request);
        Debug.Assert(removed, "a request that does not run left the running ones");
    }

    internal void ReleaseRow(Request request)
    {
        if (request.Row >= 0)
        {
            _byRow[request.Row] = null;
            _rows.Release(request.Row);
            request.Row = -1;
            request.LastTokenOnDevice = false;
            request.FirstStaleEntry = int.MaxValue;
            if (request.Beams is { HoldsRows: true } group)
            {
                group.RowsTaken--;
                _kept++;
            }
        }

        if (request.CountSlot >= 0)
        {
            _countSlots.Release(request.CountSlot);
            request.CountSlot = -1;
        }
    }

    /// <summary>No further beam of the group gets a row.</summary>
    internal void LetRowsGo(BeamGroup group)
    {
        if (group.HoldsRows)
        {
            group.HoldsRows = false;
            _kept -= group.Width - group.RowsTaken;
        }
    }

    // With its first beam a group gets rows for all.
    private void TakeKept(BeamGroup? group)
    {
        if (group is null)
        {
            return;
        }

        if (!group.HoldsRows)
        {
            group.HoldsRows = true;
            _kept += group.Width;
        }

        group.RowsTaken++;
        _kept--;
    }
}
