using VllmNative.Scheduling;

namespace VllmNative.Engine;

/// <summary>Moves blocks for those who asked for it, with steps of their own, once nothing else is in flight.</summary>
/// <param name="scheduler">Plans the moves.</param>
/// <param name="steps">Runs them.</param>
/// <param name="collect">Waits for a step and commits it.</param>
internal sealed class Defragmentation(Scheduler scheduler, StepPipeline steps, Action collect)
{
    private const int MostPasses = 16;

    private readonly List<TaskCompletionSource<int>> _answers = [];

    /// <summary>Whether somebody waits for it.</summary>
    internal bool IsWanted => _answers.Count > 0;

    /// <param name="answer">Gets the number of blocks moved.</param>
    internal void Ask(TaskCompletionSource<int> answer) => _answers.Add(answer);

    /// <summary>Passes until nothing moves, each a step of its own.</summary>
    internal void Run()
    {
        int moved = 0;
        for (int pass = 0; pass < MostPasses && scheduler.Defragment(steps.Next()) is > 0 and var blocks; pass++)
        {
            moved += blocks;
            steps.Submit();
            collect();
        }

        _answers.ForEach(answer => answer.SetResult(moved));
        _answers.Clear();
    }

    /// <summary>The engine stops: nobody gets an answer any more.</summary>
    internal void Fail() => _answers.ForEach(answer => answer.TrySetException(new EngineDeadException("the engine has stopped")));
}
