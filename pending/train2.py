import sys, time
from vaelib.lab import Experiment
from vaelib.lab.experiment import train_and_store
EV={"evaluation_samples":200}
S=range(3)
def ten(d,**k): return Experiment(dataset=d,**{"epochs":10,"history":False,**k}).with_seeds(S)
LOW=((2,0.1),(2,0.3),(1,0.6),(5,1))
A=[]
for d in ("mnist","glyphs"): A+=ten(d,beta_path=LOW,**EV)
for d in ("mnist","glyphs"): A+=ten(d,likelihood="clipped_continuous_bernoulli")
for d in ("mnist","glyphs"): A+=ten(d,draws=5,**EV)
B=[]
for d in ("mnist","glyphs"):
    for b in (1,0.5): B+=ten(d,beta=b,beyond_test=True)
F={"epochs":40,"final_learning_rate":1e-4,"beyond_test":True,"history":False,**EV}
FIN={
 "base":{"beta_path":((30,1),(10,1))},
 "low":{"beta_path":((3,0.1),(3,0.3),(3,0.6),(21,1),(10,1))},
 "half":{"beta_path":((30,0.5),(10,0.5))},
 "annealing":{"beta_warmup":9},
 "free bits":{"free_bits":0.1,"beta_path":((30,1),(10,1))},
}
C=[]
for ks in (("base","low","half"),("annealing","free bits")):
    for s in S:
        for k in ks: C.append(Experiment(dataset="mnist",seed=s,**F,**FIN[k]))
D=[]
for s in S:
    D.append(Experiment(dataset="mnist",seed=s,importance_samples=5,**F))
    D.append(Experiment(dataset="mnist",seed=s,draws=5,**F))
G=[Experiment(dataset="glyphs",seed=s,**F,**FIN[k]) for s in S for k in ("base","low","half")]
lists={"A":A,"B":B,"C":C,"D":D,"G":G}
for key in sys.argv[1]:
    for e in lists[key]:
        if e.stored(weights=False) is None:
            t=time.time(); c=time.process_time()
            train_and_store(e,False,progress=False,threads=1)
            print(key,e.name,e.canonical,round(time.time()-t),round(time.process_time()-c),time.strftime("%H:%M"),flush=True)
print("done",flush=True)
