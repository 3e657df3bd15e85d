using BenchmarkDotNet.Running;
using VllmNative.Benchmarks;
using VllmNative.Benchmarks.Report;

// `report` measures the headline figures and writes them down; everything else is BenchmarkDotNet's.
if (args is ["report", ..])
{
    return ReportCommand.Run(args[1..]);
}

BenchmarkSwitcher.FromAssembly(typeof(BenchmarkSettings).Assembly).Run(args.Length == 0 ? ["--filter", "*"] : args, new BenchmarkSettings());
return 0;
