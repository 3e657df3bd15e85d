namespace VllmNative.Engine;

/// <summary>Whose the blocks in host memory are: the first ones those of swapped requests, the rest the prefix cache's.</summary>
/// <param name="Swap">Blocks 0..Swap-1 hold what preempted requests had computed.</param>
/// <param name="Offload">As many blocks behind them are the CPU tier of the prefix cache.</param>
internal sealed record HostBlocks(int Swap, int Offload)
{
    internal int Total => Swap + Offload;
}
