using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>What a copy of blocks is for.</summary>
internal enum TransferKind
{
    /// <summary>A preempted request's blocks go to the host.</summary>
    SwapOut,

    /// <summary>They come back.</summary>
    SwapIn,

    /// <summary>Cached blocks go to the host's tier, before they give way.</summary>
    Offload,

    /// <summary>Blocks of the host's tier come back for a request that was found to begin with them.</summary>
    Onload,
}

/// <summary>Blocks that are copied between device and host.</summary>
internal sealed class Transfer(TransferKind kind, Request? request, int[] deviceBlocks, int[] hostBlocks, int count)
{
    internal TransferKind Kind => kind;

    /// <summary>For whom; null when it is for the cache.</summary>
    internal Request? Request => request;

    internal int[] DeviceBlocks => deviceBlocks;

    internal int[] HostBlocks => hostBlocks;

    internal int Count => count;

    internal bool ToHost => kind is TransferKind.SwapOut or TransferKind.Offload;

    /// <summary>For what goes to the tier: the ids of the blocks' nodes.</summary>
    internal long[] NodeIds { get; init; } = [];

    internal long StepId { get; set; }

    internal bool Failed { get; set; }
}
