using Spectre.Console;
using VllmNative.Diagnostics;
using VllmNative.Engine;

namespace VllmNative.Cli.Rendering;

/// <summary>Loads an engine and shows how far the weights are: a bar on a terminal, two lines elsewhere.</summary>
internal static class LoadingView
{
    /// <param name="options">What to load.</param>
    /// <param name="cancellationToken">Gives up between two tensors.</param>
    internal static AsyncLlmEngine Load(EngineOptions options, CancellationToken cancellationToken)
    {
        options = options with { Log = ErrorLine.WriteTrouble };
        long start = TimeProvider.System.GetTimestamp();
        AsyncLlmEngine engine = Terminals.IsErrorInteractive ? LoadWithBar(options, cancellationToken) : LoadWithLine(options, cancellationToken);
        Console.Error.WriteLine($"ready in {Units.Seconds(TimeProvider.System.GetElapsedTime(start))}: {Describe(engine)}");
        return engine;
    }

    private static AsyncLlmEngine LoadWithBar(EngineOptions options, CancellationToken cancellationToken) =>
        Terminals.Error.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("Loading weights", autoStart: true);
                return AsyncLlmEngine.Create(options, new Relay(progress =>
                {
                    task.MaxValue = progress.TotalBytes;
                    task.Value = progress.LoadedBytes;
                }, cancellationToken));
            });

    private static AsyncLlmEngine LoadWithLine(EngineOptions options, CancellationToken cancellationToken)
    {
        bool announced = false;
        return AsyncLlmEngine.Create(options, new Relay(progress =>
        {
            if (!announced)
            {
                announced = true;
                Console.Error.WriteLine($"loading {Units.Bytes(progress.TotalBytes)} of weights from {options.Model}");
            }
        }, cancellationToken));
    }

    private static string Describe(AsyncLlmEngine engine)
    {
        EngineCapabilities can = engine.Capabilities;
        MemoryStats memory = engine.Memory;
        return $"{can.Architecture}, {can.Dtype.ToString().ToLowerInvariant()}, {Units.Bytes(can.WeightBytes)} of weights on {can.Device.Name} " +
            $"({can.Device.Parallelism}, {can.Device.CapabilityName}), KV cache {memory.TotalBlocks} blocks of {memory.BlockSize} tokens ({Units.Bytes(memory.TotalBytes)})";
    }

    // Unlike Progress<T>, it reports on the loading thread: in order, and able to stop it.
    private sealed class Relay(Action<LoadProgress> show, CancellationToken cancellationToken) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value)
        {
            cancellationToken.ThrowIfCancellationRequested();
            show(value);
        }
    }
}
